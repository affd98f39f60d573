"""Training without multiplication: one file per method, one loop for all of them.

A `Topology` says what is trained, a `Dataset` on what, a `Method` (`nmahw.train.methods`, one file
each) how. A method makes a `Trainer`, whose forward, backward and update steps are the method's
arithmetic; `nmahw.train.run` goes round the epochs, keeps checkpoints and the record of the run,
and hands over a `Network`, which everything else of nmahw takes as it is.
"""
