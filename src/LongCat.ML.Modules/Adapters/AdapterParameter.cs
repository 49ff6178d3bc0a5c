using TorchSharp.Modules;

namespace LongCat.ML.Modules;

/// <summary>A tensor that training an adapter changes.</summary>
/// <param name="Name">Its name in PEFT's file, without the prefix <c>base_model.model.</c>.</param>
/// <param name="Module">The path of the module it belongs to.</param>
/// <param name="Parameter">The tensor, float32; owned by the <see cref="AdaptedModel"/> or the model.</param>
/// <param name="Role">What it is.</param>
public sealed record AdapterParameter(string Name, string Module, Parameter Parameter, AdapterRole Role);
