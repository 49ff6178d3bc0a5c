namespace LongCat.ML.Modules;

/// <summary>What an adapter trains of one module.</summary>
/// <param name="Module">The module's path.</param>
/// <param name="Rank">r; 0 for a module that is trained whole.</param>
/// <param name="Trainable">Values that are trained.</param>
/// <param name="Base">Values of the module itself.</param>
public sealed record TrainableModule(string Module, int Rank, long Trainable, long Base);
