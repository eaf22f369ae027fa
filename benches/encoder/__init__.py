"""The encoder beside transformers' modules: models, measurements, table. Run by `benches/gpu.py`."""
