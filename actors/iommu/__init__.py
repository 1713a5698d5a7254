"""The IOMMU driver of a unit: page tables, the invalidation queue, DMA."""
