using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.Win32.SafeHandles;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// A graph's matrices in pages of 2 MiB: a copy of what lies in model.onnx.data, given to ONNX Runtime in the place of the initializers that it would map.
/// Must outlive the session.
/// </summary>
internal sealed unsafe class HugePageWeights : IDisposable
{
    private const int ChunkBytes = 8 << 20;
    private const int Alignment = 4096;
    private readonly HugePages _pages;
    private readonly List<(string Name, OrtValue Value)> _values = [];

    private HugePageWeights(HugePages pages) => _pages = pages;

    /// <summary>Copies the matrices.</summary>
    /// <param name="model">model.onnx; its data file lies beside it.</param>
    /// <param name="options">How many threads read.</param>
    /// <param name="placement">What was done, or why nothing was.</param>
    /// <returns>Null where the weights stay in the mapping.</returns>
    /// <exception cref="InferenceException">The graph cannot be read, or names bytes that the data file does not have.</exception>
    public static HugePageWeights? TryLoad(string model, EngineOptions options, out WeightPlacement placement)
    {
        placement = new WeightPlacement();
        if (options.WeightPages == WeightPages.Mapped)
        {
            return null;
        }

        try
        {
            string data = Path.Combine(Path.GetDirectoryName(model)!, ModelManifest.DataFileName);
            IReadOnlyList<ExternalInitializer> matrices = ExternalInitializer.MatricesOf(File.ReadAllBytes(model));
            using SafeFileHandle file = File.OpenHandle(data);
            long dataBytes = RandomAccess.GetLength(file);
            long bytes = 0;
            List<(ExternalInitializer Matrix, long At)> places = [];
            foreach (ExternalInitializer matrix in matrices)
            {
                if (matrix.Offset > dataBytes - matrix.Length)
                {
                    throw new InferenceException(
                        $"{model}: the initializer '{matrix.Name}' lies at {matrix.Offset} with {matrix.Length} bytes, and {data} has {dataBytes} bytes. Export the model again.");
                }

                places.Add((matrix, bytes));
                bytes += (matrix.Length + Alignment - 1) / Alignment * Alignment;
            }

            if (bytes == 0)
            {
                placement = placement with { Fallback = $"{model} has no matrices in {ModelManifest.DataFileName}" };
                return null;
            }

            if (HugePages.TryAllocate(bytes, out string reason) is not { } pages)
            {
                placement = placement with { Fallback = reason };
                return null;
            }

            HugePageWeights weights = new(pages);
            try
            {
                weights.Fill(file, places, options);
                placement = new WeightPlacement { Pages = WeightPages.Huge, CopiedBytes = matrices.Sum(matrix => matrix.Length), HugeBytes = pages.CountHugeBytes() };
                return weights;
            }
            catch
            {
                weights.Dispose();
                throw;
            }
        }
        catch (Exception exception) when (exception is InvalidDataException or IOException or UnauthorizedAccessException or OnnxRuntimeException or AggregateException)
        {
            throw new InferenceException($"{model}: the weights cannot be read into pages of 2 MiB: {exception.GetBaseException().Message}", exception);
        }
    }

    /// <summary>Puts the copies in the place of the graph's initializers of the same names.</summary>
    public void AddTo(SessionOptions session)
    {
        foreach ((string name, OrtValue value) in _values)
        {
            session.AddInitializer(name, value);
        }
    }

    public void Dispose()
    {
        _values.ForEach(entry => entry.Value.Dispose());
        _values.Clear();
        _pages.Dispose();
    }

    private void Fill(SafeFileHandle file, List<(ExternalInitializer Matrix, long At)> places, EngineOptions options)
    {
        List<(long From, nint To, int Bytes)> chunks = [];
        foreach ((ExternalInitializer matrix, long at) in places)
        {
            nint to = _pages.Pointer + (nint)at;
            for (long done = 0; done < matrix.Length; done += ChunkBytes)
            {
                chunks.Add((matrix.Offset + done, to + (nint)done, (int)Math.Min(ChunkBytes, matrix.Length - done)));
            }

            _values.Add((
                matrix.Name,
                OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, (TensorElementType)matrix.ElementType, [.. matrix.Shape], to, matrix.Length)));
        }

        Parallel.ForEach(
            chunks,
            new ParallelOptions { MaxDegreeOfParallelism = options.Threads == 0 ? Environment.ProcessorCount : options.Threads },
            chunk =>
            {
                Span<byte> rest = new((void*)chunk.To, chunk.Bytes);
                for (long from = chunk.From; !rest.IsEmpty;)
                {
                    int read = RandomAccess.Read(file, rest, from);
                    if (read == 0)
                    {
                        throw new InvalidDataException($"{ModelManifest.DataFileName} ends at {from}");
                    }

                    from += read;
                    rest = rest[read..];
                }
            });
    }
}
