using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>A quantized matrix that owns its tensors.</summary>
internal interface IFrozenMatrix : IDenseWeight, IDisposable
{
    /// <summary>Bytes it takes.</summary>
    long Bytes { get; }

    /// <summary>Moves the tensors to a device.</summary>
    void MoveTo(Device device);
}
