"""Classification: digits and generated data; softmax regression, a perceptron and a convolutional network."""

from experiments.classification.classifier import Classifier
from experiments.classification.digits import DigitsData
from experiments.classification.networks import SmoothCNN, SoftmaxRegression, TanhMLP
from experiments.classification.synthetic import SyntheticClassesData

__all__ = ["Classifier", "DigitsData", "SmoothCNN", "SoftmaxRegression", "SyntheticClassesData", "TanhMLP"]
