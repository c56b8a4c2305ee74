"""What the networks of keras.applications need."""

# What each family's preprocess_input does. Those that have "none" preprocess inside.
PREPROCESSING = {
    "ConvNeXt": "none",
    "DenseNet": "imagenet-torch",
    "EfficientNet": "none",
    "InceptionResNetV2": "rescale-pm1",
    "InceptionV3": "rescale-pm1",
    "MobileNetV3": "none",
    "MobileNet": "rescale-pm1",
    "NASNet": "rescale-pm1",
    "ResNet": "imagenet-caffe",
    "VGG": "imagenet-caffe",
    "Xception": "rescale-pm1",
}
