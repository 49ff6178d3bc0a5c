using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using LongCat.ML.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// A matrix in 4 bits (<see cref="QuantizedMatrix"/>) as training keeps it: blocks of 32 inputs are 16 bytes, whose low halves are the first 16 levels, raised by 8 so
/// that they are not negative. The steps are scale · group scale, a float per group.
/// </summary>
internal sealed class FourBitMatrix : IFrozenMatrix
{
    private const int Block = 32;
    private const int Half = Block / 2;
    private readonly int _rows;
    private readonly int _columns;
    private readonly int _group;
    private Tensor _levels;
    private Tensor _steps;

    public FourBitMatrix(QuantizedMatrix matrix)
    {
        (_rows, _columns) = (matrix.OutFeatures, matrix.InFeatures);
        int blocks = (_columns + Block - 1) / Block;
        _group = matrix.GroupSize == 0 ? blocks * Block : matrix.GroupSize;
        if (_group % Block != 0)
        {
            throw new ArgumentException($"groups of {_group} inputs, expected a multiple of {Block}", nameof(matrix));
        }

        int groups = (_columns + _group - 1) / _group;
        byte[] packed = new byte[(long)_rows * blocks * Half];
        float[] steps = new float[_rows * groups];
        for (int row = 0; row < _rows; row++)
        {
            var levels = matrix.Levels.AsSpan(row * _columns, _columns);
            var to = packed.AsSpan(row * blocks * Half, blocks * Half);
            for (int k = 0; k < blocks * Block; k++)
            {
                int level = (k < _columns ? levels[k] : 0) + 8;
                to[(k / Block * Half) + (k % Half)] |= (byte)(k % Block < Half ? level : level << 4);
            }

            for (int g = 0; g < groups; g++)
            {
                steps[(row * groups) + g] = matrix.Scales[row] * (matrix.GroupScales is null ? 1 : matrix.GroupScales[(row * groups) + g]);
            }
        }

        using var scope = NewDisposeScope();
        _levels = tensor(packed, [_rows, blocks, Half]).DetachFromDisposeScope();
        _steps = tensor(steps, [_rows, groups]).DetachFromDisposeScope();
    }

    public long Bytes => (_levels.NumberOfElements * _levels.ElementSize) + (_steps.NumberOfElements * _steps.ElementSize);

    public void MoveTo(Device device)
    {
        _levels = Moved(_levels, device);
        _steps = Moved(_steps, device);

        static Tensor Moved(Tensor tensor, Device device)
        {
            using (tensor)
            {
                return tensor.to(device, copy: true).DetachFromDisposeScope();
            }
        }
    }

    public Tensor Dense(ScalarType type) => _levels.device_type == DeviceType.CPU ? Widened(type) : Computed(type);

    public void Dispose()
    {
        _levels.Dispose();
        _steps.Dispose();
    }

    /// <summary>The matrix by tensor operations, for devices other than the processor.</summary>
    internal Tensor Computed(ScalarType type)
    {
        using var scope = NewDisposeScope();
        var bytes = _levels.to(ScalarType.Float32);
        var high = bytes.div(16).floor();
        long blocks = _levels.shape[1];
        var levels = cat([bytes.sub(high.mul(16)), high], 2).sub(8).reshape(_rows, blocks * Block);
        long groups = _steps.shape[1];
        if (groups * _group > blocks * Block)
        {
            // The last group may be shorter: its levels are filled up with zeros, which are cut off again.
            long[] padding = [0, (groups * _group) - (blocks * Block)];
            levels = nn.functional.pad(levels, padding);
        }

        var dense = levels.reshape(_rows, groups, _group).mul(_steps.unsqueeze(2)).reshape(_rows, groups * _group).narrow(1, 0, _columns);
        return dense.to(type).contiguous().MoveToOuterDisposeScope();
    }

    private unsafe Tensor Widened(ScalarType type)
    {
        using var scope = NewDisposeScope();
        var dense = empty(_rows, _columns, ScalarType.Float32);
        int blocks = (int)_levels.shape[1], groups = (int)_steps.shape[1];
        fixed (byte* levels = _levels.bytes)
        fixed (byte* steps = _steps.bytes, destination = dense.bytes)
        {
            (nint from, nint step, nint to) = ((nint)levels, (nint)steps, (nint)destination);
            Parallel.For(0, _rows, new ParallelOptions { MaxDegreeOfParallelism = get_num_threads() }, row =>
                WidenRow((byte*)from + ((long)row * blocks * Half), (float*)step + ((long)row * groups), (float*)to + ((long)row * _columns)));
        }

        return (type == ScalarType.Float32 ? dense : dense.to(type)).MoveToOuterDisposeScope();
    }

    private unsafe void WidenRow(byte* levels, float* steps, float* destination)
    {
        var mask = Vector128.Create(15u);
        var zero = Vector128.Create(8);
        int k = 0;
        for (; k + Block <= _columns; k += Block, levels += Half)
        {
            var step = Vector128.Create(steps[k / _group]);
            var (low, high) = Vector128.Widen(Vector128.Load(levels));
            var (first, second) = Vector128.Widen(low);
            var (third, fourth) = Vector128.Widen(high);
            Store(first, 0);
            Store(second, 4);
            Store(third, 8);
            Store(fourth, 12);

            void Store(Vector128<uint> bytes, int offset)
            {
                (Vector128.ConvertToSingle((bytes & mask).AsInt32() - zero) * step).Store(destination + k + offset);
                (Vector128.ConvertToSingle((bytes >>> 4).AsInt32() - zero) * step).Store(destination + k + Half + offset);
            }
        }

        for (int i = 0; k + i < _columns; i++)
        {
            int level = i < Half ? levels[i] & 15 : levels[i - Half] >> 4;
            destination[k + i] = steps[(k + i) / _group] * (level - 8);
        }
    }
}
