"""`likewise serve label-studio`: a machine learning backend of Label Studio, one concept a project."""
