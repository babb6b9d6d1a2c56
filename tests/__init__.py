"""A package: without it `import tests` finds that of draccus, which lerobot needs and which installs its own."""
