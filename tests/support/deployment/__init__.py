"""What tests of deploy/ need: other programs, images, a chart's objects."""
