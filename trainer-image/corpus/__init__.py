"""From text to a sealed data folder, and from there to training batches. Agents never edit these files."""
