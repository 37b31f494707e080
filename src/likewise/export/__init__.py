"""Models as ONNX files, which run without torch: `likewise export`.

model --> graphs (`likewise.export.graphs`) --> .onnx files with a card in their metadata (`likewise.export.write`)
"""
