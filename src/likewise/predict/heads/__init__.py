"""How each few-shot method learns an example and segments an image. `FewShot` does the rest.

image, mask --> Head.learn ----> rows of a concept
concept ------> Head.prepare --> prepared concept --+
images ---------------------------------------------+--> Head.segment --> probabilities of background and classes
"""
