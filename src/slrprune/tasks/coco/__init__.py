"""Objects in photographs: the COCO format, its metric, and networks that detect."""
