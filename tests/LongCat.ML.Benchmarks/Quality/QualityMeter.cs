using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>Runs models over documents (each alone, from position 0) and compares every distribution with float32's, which lie in a temporary file.</summary>
internal sealed class QualityMeter : IDisposable
{
    private const int Together = 16;

    private readonly IReadOnlyList<int[]> _documents;
    private readonly FileStream _reference;
    private readonly double[] _losses;
    private int _vocabulary;

    private QualityMeter(IReadOnlyList<int[]> documents, string folder)
    {
        _documents = documents;
        _losses = new double[documents.Count];
        _reference = new FileStream(Path.Combine(folder, "float32.logits"), FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
    }

    /// <summary>float32's own perplexity.</summary>
    public double Perplexity => Math.Exp(_losses.Sum() / Predicted);

    /// <summary>Tokens that are predicted: all but the first of each document.</summary>
    public int Predicted => _documents.Sum(document => document.Length - 1);

    /// <summary>Measures the float32 model that all others are compared with.</summary>
    public static QualityMeter Open(IReadOnlyList<int[]> documents, string float32, string temporaryFolder)
    {
        QualityMeter meter = new(documents, temporaryFolder);
        meter.Run(float32, (document, logits) =>
        {
            lock (meter._reference)
            {
                meter._vocabulary = logits.Length / documents[document].Length;
                meter._reference.Position = meter.Offset(document);
                meter._reference.Write(MemoryMarshal.AsBytes(logits));
            }

            meter._losses[document] = Compare(documents[document], logits, logits, meter._vocabulary).Loss;
        });
        return meter;
    }

    /// <summary>Measures a model.</summary>
    public QualityFigures Measure(string name, string folder, double seconds)
    {
        Comparison[] documents = new Comparison[_documents.Count];
        Run(folder, (document, logits) =>
        {
            documents[document] = Compare(_documents[document], Reference(document), logits, _vocabulary);
        });
        double predicted = Predicted;
        double difference = (documents.Sum(document => document.Loss) - _losses.Sum()) / predicted;
        double square = documents.Select((document, i) => Math.Pow(document.Loss - _losses[i] - (difference * (_documents[i].Length - 1)), 2)).Sum();
        return new QualityFigures(
            name,
            new DirectoryInfo(folder).EnumerateFiles().Where(file => file.Name.StartsWith("model.onnx", StringComparison.Ordinal)).Sum(file => file.Length) / 1e6,
            Math.Exp(documents.Sum(document => document.Loss) / predicted),
            difference,
            Math.Sqrt(square) / predicted,
            documents.Sum(document => document.Agreed) / predicted,
            documents.Sum(document => document.Divergence) / predicted,
            Math.Sqrt(documents.Sum(document => document.SquaredError) / documents.Sum(document => document.Squares)),
            seconds);
    }

    /// <summary>float32's logits of a document, [tokens, vocabulary].</summary>
    public float[] Reference(int document)
    {
        float[] exact = new float[_documents[document].Length * _vocabulary];
        lock (_reference)
        {
            _reference.Position = Offset(document);
            _reference.ReadExactly(MemoryMarshal.AsBytes(exact.AsSpan()));
        }

        return exact;
    }

    public void Dispose() => _reference.Dispose();

    private long Offset(int document) => 4L * _vocabulary * _documents.Take(document).Sum(ids => (long)ids.Length);

    private void Run(string folder, Action<int, float[]> use)
    {
        using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions { MaxSequences = Together, MemoryBudgetBytes = 256 << 20 });
        for (int first = 0; first < _documents.Count; first += Together)
        {
            int count = Math.Min(Together, _documents.Count - first);
            Task<float[]>[] running = [.. Enumerable.Range(first, count).Select(document => engine.LogitsAsync(_documents[document]))];
            Task.WaitAll(running);
            Parallel.For(0, count, i => use(first + i, running[i].Result));
        }
    }

    private static Comparison Compare(int[] ids, float[] exact, float[] got, int vocabulary)
    {
        double loss = 0;
        double divergence = 0;
        double error = 0;
        double squares = 0;
        int agreed = 0;
        for (int position = 0; position + 1 < ids.Length; position++)
        {
            ReadOnlySpan<float> p = exact.AsSpan(position * vocabulary, vocabulary);
            ReadOnlySpan<float> q = got.AsSpan(position * vocabulary, vocabulary);
            (int topP, double sumP) = Normalizer(p);
            (int topQ, double sumQ) = Normalizer(q);
            int i = 0;
            Vector512<double> lanes = default, errors = default, sums = default;
            for (; i + 8 <= vocabulary; i += 8)
            {
                Vector512<double> one = Widen(p, i), other = Widen(q, i), logP = one - Vector512.Create(sumP);
                lanes += Vector512.Exp(logP) * (logP - (other - Vector512.Create(sumQ)));
                errors += (other - one) * (other - one);
                sums += one * one;
            }

            divergence += Vector512.Sum(lanes);
            error += Vector512.Sum(errors);
            squares += Vector512.Sum(sums);
            for (; i < vocabulary; i++)
            {
                divergence += Math.Exp(p[i] - sumP) * (p[i] - sumP - (q[i] - sumQ));
                error += Math.Pow((double)q[i] - p[i], 2);
                squares += Math.Pow(p[i], 2);
            }

            agreed += topP == topQ ? 1 : 0;
            loss += sumQ - q[ids[position + 1]];
        }

        return new Comparison(loss, divergence, error, squares, agreed);
    }

    /// <summary>The first largest logit's index, and log Σ exp.</summary>
    private static (int Top, double LogSum) Normalizer(ReadOnlySpan<float> logits)
    {
        int top = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            top = logits[i] > logits[top] ? i : top;
        }

        Vector512<double> lanes = default;
        int at = 0;
        for (; at + 8 <= logits.Length; at += 8)
        {
            lanes += Vector512.Exp(Widen(logits, at) - Vector512.Create((double)logits[top]));
        }

        double sum = Vector512.Sum(lanes);
        for (; at < logits.Length; at++)
        {
            sum += Math.Exp(logits[at] - (double)logits[top]);
        }

        return (top, logits[top] + Math.Log(sum));
    }

    private static Vector512<double> Widen(ReadOnlySpan<float> values, int at)
    {
        (Vector256<double> lower, Vector256<double> upper) = Vector256.Widen(Vector256.LoadUnsafe(in values[at]));
        return Vector512.Create(lower, upper);
    }

    private readonly record struct Comparison(double Loss, double Divergence, double SquaredError, double Squares, int Agreed);
}
