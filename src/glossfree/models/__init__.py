"""The parts of a model (backbones, temporal modules, language encoders, decoders), and the whole model."""
