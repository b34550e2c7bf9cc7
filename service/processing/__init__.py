"""The processor: takes each order from Pending to Processing to Completed or Failed."""
