"""Large jobs: shards of images in any storage that fsspec opens, each with one output that is written whole or not.

images -> plan_job -> OUT/plan.json, manifest/, model/ -> Worker.work (each shard) -> OUT/shards/ -> merge_shards

A shard whose output exists is done, so any executor may run any shards, in any order, and stop at any time.
"""
