"""Tests of the client package and its two scripts."""
