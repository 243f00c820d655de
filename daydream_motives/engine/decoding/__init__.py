"""Many answers written side by side by llama.cpp."""
