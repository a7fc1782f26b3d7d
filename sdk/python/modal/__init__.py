"""The package gx under the name that existing programs import."""
