using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>Runs models over held-out documents and compares every distribution with float32's, which lie in a temporary file.</summary>
internal sealed class QualityMeter : IDisposable
{
    private const int Together = 16;

    private readonly HeldOutText _text;
    private readonly FileStream _reference;
    private readonly double[] _losses;
    private int _vocabulary;

    private QualityMeter(HeldOutText text, string folder)
    {
        _text = text;
        _losses = new double[text.Documents.Count];
        _reference = new FileStream(Path.Combine(folder, "float32.logits"), FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
    }

    /// <summary>float32's own perplexity.</summary>
    public double Perplexity => Math.Exp(_losses.Sum() / _text.Predicted);

    /// <summary>Measures the float32 model that all others are compared with.</summary>
    public static QualityMeter Open(HeldOutText text, string float32, string temporaryFolder)
    {
        QualityMeter meter = new(text, temporaryFolder);
        meter.Run(float32, (document, logits) =>
        {
            lock (meter._reference)
            {
                meter._vocabulary = logits.Length / text.Documents[document].Length;
                meter._reference.Position = meter.Offset(document);
                meter._reference.Write(MemoryMarshal.AsBytes(logits));
            }

            meter._losses[document] = Compare(text.Documents[document], logits, logits, meter._vocabulary).Loss;
        });
        return meter;
    }

    /// <summary>Measures a model.</summary>
    public QualityFigures Measure(string name, string folder, double seconds)
    {
        Comparison[] documents = new Comparison[_text.Documents.Count];
        Run(folder, (document, logits) =>
        {
            float[] exact = new float[logits.Length];
            lock (_reference)
            {
                _reference.Position = Offset(document);
                _reference.ReadExactly(MemoryMarshal.AsBytes(exact.AsSpan()));
            }

            documents[document] = Compare(_text.Documents[document], exact, logits, _vocabulary);
        });
        double predicted = _text.Predicted;
        double difference = (documents.Sum(document => document.Loss) - _losses.Sum()) / predicted;
        double square = documents.Select((document, i) => Math.Pow(document.Loss - _losses[i] - (difference * (_text.Documents[i].Length - 1)), 2)).Sum();
        return new QualityFigures(
            name,
            new DirectoryInfo(folder).EnumerateFiles().Where(file => file.Name.StartsWith("model.onnx", StringComparison.Ordinal)).Sum(file => file.Length) / 1e6,
            Math.Exp(documents.Sum(document => document.Loss) / predicted),
            difference,
            Math.Sqrt(square) / predicted,
            documents.Sum(document => document.Agreed) / predicted,
            documents.Sum(document => document.Divergence) / predicted,
            seconds);
    }

    public void Dispose() => _reference.Dispose();

    private long Offset(int document) => 4L * _vocabulary * _text.Documents.Take(document).Sum(ids => (long)ids.Length);

    private void Run(string folder, Action<int, float[]> use)
    {
        using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions { MaxSequences = Together, MemoryBudgetBytes = 256 << 20 });
        for (int first = 0; first < _text.Documents.Count; first += Together)
        {
            int count = Math.Min(Together, _text.Documents.Count - first);
            Task<float[]>[] running = [.. Enumerable.Range(first, count).Select(document => engine.LogitsAsync(_text.Documents[document]))];
            Task.WaitAll(running);
            Parallel.For(0, count, i => use(first + i, running[i].Result));
        }
    }

    private static Comparison Compare(int[] ids, float[] exact, float[] got, int vocabulary)
    {
        double loss = 0;
        double divergence = 0;
        int agreed = 0;
        for (int position = 0; position + 1 < ids.Length; position++)
        {
            ReadOnlySpan<float> p = exact.AsSpan(position * vocabulary, vocabulary);
            ReadOnlySpan<float> q = got.AsSpan(position * vocabulary, vocabulary);
            (int topP, double sumP) = Normalizer(p);
            (int topQ, double sumQ) = Normalizer(q);
            double between = 0;
            int i = 0;
            Vector512<double> lanes = default;
            for (; i + 8 <= vocabulary; i += 8)
            {
                Vector512<double> logP = Widen(p, i) - Vector512.Create(sumP);
                lanes += Vector512.Exp(logP) * (logP - (Widen(q, i) - Vector512.Create(sumQ)));
            }

            between += Vector512.Sum(lanes);
            for (; i < vocabulary; i++)
            {
                between += Math.Exp(p[i] - sumP) * (p[i] - sumP - (q[i] - sumQ));
            }

            divergence += between;
            agreed += topP == topQ ? 1 : 0;
            loss += sumQ - q[ids[position + 1]];
        }

        return new Comparison(loss, divergence, agreed);
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

    private readonly record struct Comparison(double Loss, double Divergence, int Agreed);
}
