"""Writes what is derived from the registry: the SDK's module faces, its blocking half, the reference pages.

`python -m node.generate` writes, `python -m node.generate --check` says with exit code 1 what is out of
date. Everything comes from the modules' own declarations, so that no description can differ from the chain.
"""
