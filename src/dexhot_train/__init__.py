"""Mining and learning for dexhot. The robot's runtime (`dexhot`) never imports this package."""
