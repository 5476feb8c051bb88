"""What is installed here, with its licences, as a CycloneDX document (a bill of materials)."""
