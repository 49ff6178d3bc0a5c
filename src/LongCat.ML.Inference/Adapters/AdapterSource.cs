using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Adapters;

/// <summary>An adapter of <see cref="EngineOptions.Adapters"/>, read.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Folder">Its folder.</param>
/// <param name="Adapter">What the folder holds.</param>
internal sealed record AdapterSource(string Name, string Folder, PeftAdapter Adapter);
