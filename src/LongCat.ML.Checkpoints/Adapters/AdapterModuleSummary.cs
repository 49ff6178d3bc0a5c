namespace LongCat.ML.Checkpoints;

/// <summary>Modules of an adapter that differ in layer and expert only.</summary>
/// <param name="Name">Their path, with stars for the numbers of layers and experts.</param>
/// <param name="Count">How many there are.</param>
/// <param name="Rank">Their rank.</param>
/// <param name="Scale">What the product of their matrices is multiplied by.</param>
/// <param name="In">Their inputs.</param>
/// <param name="Out">Their outputs.</param>
/// <param name="Parameters">Their values, all together.</param>
public sealed record AdapterModuleSummary(string Name, int Count, int Rank, double Scale, int In, int Out, long Parameters);
