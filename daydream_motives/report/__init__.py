"""What a run was like: figures over time, pictures, one page. Reads runs, changes nothing."""
