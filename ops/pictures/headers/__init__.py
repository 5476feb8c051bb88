"""What a picture's file says about itself, read before anything is decoded."""
