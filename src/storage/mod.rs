//! OpenBao's storage formats, streaming and without any policy on where the bytes come from or go to.
