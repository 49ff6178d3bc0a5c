namespace LongCat.ML.Training.Tests.FineTuning;

/// <summary>Dropout draws from libtorch's one generator, seeded for every draw: nothing else may draw in between.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class OneTrainerAtATime
{
    public const string Name = "one trainer at a time";
}
