"""What all load profiles share: a shopper whose answers are checked, its tasks, and the files of a run."""
