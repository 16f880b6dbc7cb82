"""Figures of a trial, of many replicates, of a sweep."""
