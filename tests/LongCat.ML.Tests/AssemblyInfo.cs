// The engine cache and the search path belong to the process.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
