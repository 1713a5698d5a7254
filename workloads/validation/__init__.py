"""`gmemsim validate`: published measurements (docs/domain.md section 8) beside what the engine makes of them."""
