"""Demonstration scaling: generalists of more and more demonstrations, and of differently mined labels."""
