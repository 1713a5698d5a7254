"""The TDX module of a host: S-EPT, its locks and SEAMCALLs, the PAMT."""
