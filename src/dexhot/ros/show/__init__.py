"""The live scene in the browser, and as markers."""
