"""Training runs on real data, described by YAML configs and compared with each other."""
