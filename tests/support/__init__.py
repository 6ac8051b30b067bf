"""What tests share: speech made at test time, doors to the dev cluster, a callback receiver."""
