"""The trusted part: proving verdicts, and what else was found, from stored numbers alone.

Nothing here decides, searches or reads objects of other rooms: a claim is arrays and a block of bytes, and imports are
numpy, scipy's sparse matrices, python-flint, and ``fiberscope.errors``. What is proved, and why it follows, stands in
``docs/certificates.md``; the order to read is ``verdicts``, ``conditions``, ``facts``, ``arithmetic``. That inputs have
the same features is proved by ``same_features``, singular values are checked by ``spectra``; no verdict needs them.
"""
