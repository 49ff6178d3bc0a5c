using LongCat.ML.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>A matrix in 8 bits with a scale per row (<see cref="QuantizedInt8Matrix"/>): the output head of a W4A8 model.</summary>
internal sealed class EightBitMatrix : IFrozenMatrix
{
    private Tensor _levels;
    private Tensor _scales;

    public EightBitMatrix(QuantizedInt8Matrix matrix)
    {
        using var scope = NewDisposeScope();
        _levels = tensor(matrix.Levels, [matrix.OutFeatures, matrix.InFeatures]).DetachFromDisposeScope();
        _scales = tensor(matrix.Scales, [matrix.OutFeatures, 1]).DetachFromDisposeScope();
    }

    public long Bytes => (_levels.NumberOfElements * _levels.ElementSize) + (_scales.NumberOfElements * _scales.ElementSize);

    public Tensor Dense(ScalarType type)
    {
        using var scope = NewDisposeScope();
        return _levels.to(ScalarType.Float32).mul_(_scales).to(type).MoveToOuterDisposeScope();
    }

    /// <summary>Some rows, float32: where the head is the word embedding too.</summary>
    public Tensor Rows(Tensor ids)
    {
        using var scope = NewDisposeScope();
        return _levels.index_select(0, ids).to(ScalarType.Float32).mul_(_scales.index_select(0, ids)).MoveToOuterDisposeScope();
    }

    public void MoveTo(Device device)
    {
        using var scope = NewDisposeScope();
        (var levels, var scales) = (_levels, _scales);
        _levels = levels.to(device, copy: true).DetachFromDisposeScope();
        _scales = scales.to(device, copy: true).DetachFromDisposeScope();
        levels.Dispose();
        scales.Dispose();
    }

    public void Dispose()
    {
        _levels.Dispose();
        _scales.Dispose();
    }
}
