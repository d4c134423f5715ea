"""What `slrprune` says without a verb."""

FIRST = """\
slrprune prunes PyTorch networks while they train.

Begin here:
  slrprune demo                              a small network on real data, pruned by five methods, in a minute or two

Then your own model:
  slrprune new-task my_task.py               writes a template that runs as it is; put your model and your data in
  slrprune inspect my_task.py:make_task      what would be pruned, what not, and why
  slrprune sensitivity my_task.py:make_task  what each layer can bear, without any training
  slrprune plan my_task.py:make_task         what pruning would bring on this machine, in bytes and in time
  slrprune prune my_task.py:make_task        prunes it

`slrprune --help` lists all verbs, `slrprune VERB --help` ends with an example.
In your own training loop it takes three lines; the README shows them."""
