"""Several configs trained on equal budgets: runs in processes of their own, and the table, CSV and figure of them."""
