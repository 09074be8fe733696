"""Age and gender from voice and face: five published pipelines over one thin library."""

__version__ = "0.1.0"
