using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Optimization;

/// <summary>
/// AdamW (1711.05101) with clipping by the joint gradient norm: moments, decay, update and the clearing of gradients in one pass over memory, in parallel.
/// </summary>
/// <remarks>
/// torch.optim's AdamW makes about ten passes over every tensor; for a small model on a CPU that was a tenth of the step. The result does not depend on the number of
/// threads. A parameter that no gradient reached counts as gradient zero, so a resumed run equals an uninterrupted one. Float32 CPU parameters only. Not thread-safe.
/// </remarks>
public sealed unsafe class FusedAdamW : IDisposable
{
    private const int Chunk = 1 << 15;
    private readonly AdamWOptions _options;
    private readonly List<Slot> _slots = [];
    private readonly List<(int Slot, int Start, int Length)> _chunks = [];
    private readonly double[] _partialNorms;
    private readonly ParallelOptions _parallel;

    /// <summary>Creates the optimizer with moments zero.</summary>
    /// <param name="groups">The parameters; each in one group.</param>
    /// <param name="options">The settings.</param>
    /// <param name="threads">Threads of an update, 1 or more.</param>
    /// <exception cref="ArgumentException">A parameter is not float32 or not contiguous.</exception>
    public FusedAdamW(IEnumerable<ParameterGroup> groups, AdamWOptions options, int threads)
    {
        _options = options;
        _parallel = new ParallelOptions { MaxDegreeOfParallelism = threads };
        foreach (var group in groups)
        {
            foreach (var (name, parameter) in group.Parameters)
            {
                if (parameter.dtype != ScalarType.Float32 || !parameter.is_contiguous())
                {
                    throw new ArgumentException($"parameter {name} is {parameter.dtype}, expected contiguous Float32", nameof(groups));
                }

                int length = checked((int)parameter.NumberOfElements);
                for (int start = 0; start < length && !group.Sparse; start += Chunk)
                {
                    _chunks.Add((_slots.Count, start, Math.Min(Chunk, length - start)));
                }

                _slots.Add(new Slot(name, parameter, length, group.RateFactor, group.WeightDecay, group.Sparse));
            }
        }

        _partialNorms = new double[_chunks.Count];
    }

    /// <summary>Updates made.</summary>
    public long Steps { get; private set; }

    /// <summary>The moments by name (<c>first.{parameter}</c>, <c>second.{parameter}</c>) for saving; valid until the next update.</summary>
    /// <param name="visit">Called with name, shape and values.</param>
    public void VisitMoments(Action<string, long[], ReadOnlyMemory<float>> visit)
    {
        foreach (var slot in _slots)
        {
            visit($"first.{slot.Name}", slot.Parameter.shape, slot.First);
            visit($"second.{slot.Name}", slot.Parameter.shape, slot.Second);
        }
    }

    /// <summary>Puts saved moments back.</summary>
    /// <param name="steps">Updates made so far.</param>
    /// <param name="read">Fills the values of a name that <see cref="VisitMoments"/> gave.</param>
    public void Restore(long steps, Action<string, float[]> read)
    {
        Steps = steps;
        foreach (var slot in _slots)
        {
            read($"first.{slot.Name}", slot.First);
            read($"second.{slot.Name}", slot.Second);
        }
    }

    /// <summary>Clips, updates all parameters and clears their gradients.</summary>
    /// <param name="learningRate">The rate of this step, before each group's factor.</param>
    /// <param name="sparse">The gradients of tables in sparse groups; a table without one stays as it is.</param>
    /// <returns>The gradients' joint norm before clipping; the update is skipped when it is not finite.</returns>
    /// <exception cref="ArgumentException">A sparse gradient of a parameter that is in no sparse group.</exception>
    public double Step(double learningRate, IReadOnlyList<SparseGradient>? sparse = null)
    {
        var tables = (sparse ?? []).Select(gradient => (Gradient: gradient, Slot: _slots.Find(slot => slot.IsSparse && slot.Name == gradient.Name)
            ?? throw new ArgumentException($"there is no table {gradient.Name} in a sparse group", nameof(sparse)))).ToArray();
        var gradients = new Tensor?[_slots.Count];
        var values = new nint[_slots.Count];
        var slopes = new nint[_slots.Count];
        for (int i = 0; i < _slots.Count; i++)
        {
            values[i] = Pointer(_slots[i].Parameter);
            gradients[i] = _slots[i].Parameter.grad;
            slopes[i] = gradients[i] is { } gradient ? Pointer(gradient) : 0;
        }

        Parallel.For(0, _chunks.Count, _parallel, c => _partialNorms[c] = slopes[_chunks[c].Slot] == 0 ? 0
            : SquaredNorm(new ReadOnlySpan<float>((float*)slopes[_chunks[c].Slot] + _chunks[c].Start, _chunks[c].Length)));
        double norm = 0;
        foreach (double partial in _partialNorms)
        {
            norm += partial;
        }

        norm += tables.Sum(table => SquaredNorm(table.Gradient.Values));
        norm = Math.Sqrt(norm);
        bool usable = double.IsFinite(norm);
        float clip = _options.MaxGradientNorm > 0 && norm > _options.MaxGradientNorm ? (float)(_options.MaxGradientNorm / norm) : 1f;
        if (usable)
        {
            Steps++;
        }

        double firstCorrection = 1 - Math.Pow(_options.Beta1, Steps);
        double secondCorrection = 1 - Math.Pow(_options.Beta2, Steps);
        Parallel.For(0, _chunks.Count, _parallel, c =>
        {
            var (index, start, length) = _chunks[c];
            var slot = _slots[index];
            float* slope = slopes[index] == 0 ? null : (float*)slopes[index] + start;
            if (usable)
            {
                Update((float*)values[index] + start, slope, slot.First.AsSpan(start, length), slot.Second.AsSpan(start, length), Of(slot));
            }

            if (slope is not null)
            {
                new Span<float>(slope, length).Clear();
            }
        });
        foreach (var (gradient, slot) in usable ? tables : [])
        {
            int width = gradient.Rows.Length == 0 ? 0 : gradient.Values.Length / gradient.Rows.Length;
            var table = (float*)Pointer(slot.Parameter);
            fixed (float* slopesOfRows = gradient.Values)
            {
                for (int i = 0; i < gradient.Rows.Length; i++)
                {
                    int start = checked((int)(gradient.Rows[i] * width));
                    Update(table + start, slopesOfRows + ((long)i * width), slot.First.AsSpan(start, width), slot.Second.AsSpan(start, width), Of(slot));
                }
            }
        }

        foreach (var gradient in gradients)
        {
            gradient?.Dispose();
        }

        return norm;

        Coefficients Of(Slot slot)
        {
            double rate = learningRate * slot.RateFactor;
            return new Coefficients(
                (float)_options.Beta1,
                (float)_options.Beta2,
                clip,
                (float)(1 - (rate * slot.WeightDecay)),
                (float)(rate / firstCorrection * Math.Sqrt(secondCorrection)),
                (float)(_options.Epsilon * Math.Sqrt(secondCorrection)));
        }
    }

    /// <summary>Lets go of the moments; the parameters stay with their module.</summary>
    public void Dispose() => _slots.Clear();

    private static nint Pointer(Tensor tensor) => (nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(tensor.bytes));

    private static double SquaredNorm(ReadOnlySpan<float> values)
    {
        var sum = Vector<double>.Zero;
        int width = Vector<float>.Count, i = 0;
        for (; i <= values.Length - width; i += width)
        {
            Vector.Widen(new Vector<float>(values[i..]), out var low, out var high);
            sum += (low * low) + (high * high);
        }

        double total = Vector.Sum(sum);
        for (; i < values.Length; i++)
        {
            total += (double)values[i] * values[i];
        }

        return total;
    }

    private static void Update(float* value, float* slope, Span<float> first, Span<float> second, in Coefficients k)
    {
        int width = Vector<float>.Count, i = 0;
        fixed (float* m = first, v = second)
        {
            var beta1 = new Vector<float>(k.Beta1);
            var beta2 = new Vector<float>(k.Beta2);
            var rest1 = new Vector<float>(1 - k.Beta1);
            var rest2 = new Vector<float>(1 - k.Beta2);
            var clip = new Vector<float>(k.Clip);
            var keep = new Vector<float>(k.Keep);
            var rate = new Vector<float>(k.Rate);
            var epsilon = new Vector<float>(k.Epsilon);
            for (; i <= first.Length - width; i += width)
            {
                var g = slope is null ? Vector<float>.Zero : Vector.Load(slope + i) * clip;
                var moment = (beta1 * Vector.Load(m + i)) + (rest1 * g);
                var square = (beta2 * Vector.Load(v + i)) + (rest2 * g * g);
                Vector.Store(moment, m + i);
                Vector.Store(square, v + i);
                Vector.Store((keep * Vector.Load(value + i)) - (rate * moment / (Vector.SquareRoot(square) + epsilon)), value + i);
            }

            for (; i < first.Length; i++)
            {
                float g = slope is null ? 0 : slope[i] * k.Clip;
                m[i] = (k.Beta1 * m[i]) + ((1 - k.Beta1) * g);
                v[i] = (k.Beta2 * v[i]) + ((1 - k.Beta2) * g * g);
                value[i] = (k.Keep * value[i]) - (k.Rate * m[i] / (MathF.Sqrt(v[i]) + k.Epsilon));
            }
        }
    }

    private readonly record struct Coefficients(float Beta1, float Beta2, float Clip, float Keep, float Rate, float Epsilon);

    private sealed record Slot(string Name, Parameter Parameter, int Length, double RateFactor, double WeightDecay, bool IsSparse)
    {
        public float[] First { get; } = new float[Length];

        public float[] Second { get; } = new float[Length];
    }
}
