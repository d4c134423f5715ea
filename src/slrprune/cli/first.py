"""What `slrprune` says without a verb."""

FIRST = """\
slrprune prunes PyTorch networks while they train.

  slrprune demo               begin here: prunes a small network on real data by five methods, in a minute or two
  slrprune tasks              what else is ready to run
  slrprune compare --help     every method at the same budget, on a task of your choice
  slrprune table DIR          the table of a comparison that has been run
  slrprune plan MODEL         before any training: what pruning would give on this machine, in bytes and in time
  slrprune bench MODEL        how fast a pruned model runs here, layer by layer
  slrprune oneshot hf:MODEL   a trained transformer, pruned from a text without training
  slrprune export DIR         a pruned model for other programs: sparse file, ONNX, or with dead channels removed

In your own training loop it takes three lines; the README shows them."""
