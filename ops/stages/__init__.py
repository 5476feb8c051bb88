"""What each stage of the pipeline does to a request, one file a stage."""
