using System.Diagnostics;
using System.Text;

namespace LongCat.ML.Benchmarks.LlamaCpp;

/// <summary>
/// A model in llama.cpp with a context and a thread pool that stays between calls. Weights are repacked when it is loaded and attention is chosen by the library, as it does
/// by default. Nothing is sampled: a decoding step is one call of llama_decode.
/// </summary>
internal sealed unsafe class LlamaCppModel : IDisposable
{
    private const int LongestPrompt = 512, MostSequences = 8;
    private readonly LlamaCppLibrary library;
    private readonly nint model, context, threadPool;
    private readonly int vocabulary;
    private readonly Random random = new(5);

    public LlamaCppModel(LlamaCppLibrary library, string file, int vocabulary, int threads, int sequences, int length)
    {
        this.library = library;
        this.vocabulary = vocabulary;
        LlamaCppLibrary.ModelParameters parameters = library.DefaultModel;
        parameters.GpuLayers = 0;
        fixed (byte* path = Encoding.UTF8.GetBytes(file + "\0"))
        {
            model = library.LoadModel(path, parameters);
        }

        if (model == 0)
        {
            throw new InvalidOperationException($"llama.cpp cannot load {file}");
        }

        LlamaCppLibrary.ContextParameters options = library.DefaultContext;
        options.ContextTokens = (uint)(sequences * ((length + 255) / 256 * 256));
        options.BatchTokens = options.MicroBatchTokens = LongestPrompt;
        options.Sequences = (uint)sequences;
        options.Threads = options.BatchThreads = threads;
        options.NoTimings = 1;
        context = library.NewContext(model, options);
        if (context == 0)
        {
            throw new InvalidOperationException($"llama.cpp makes no context of {options.ContextTokens} tokens for {file}");
        }

        LlamaCppLibrary.ThreadPoolParameters pool;
        library.DefaultThreads(&pool, threads);
        pool.Paused = 1;
        threadPool = library.NewThreads(&pool);
        library.AttachThreads(context, threadPool, threadPool);
    }

    /// <summary>Tokens per second of one prompt, logits of its last token only.</summary>
    public double Prompt(int length)
    {
        Clear();
        return Running(() => length / Seconds(() => Step([.. Enumerable.Range(0, length).Select(position => (0, position, position == length - 1))])));
    }

    /// <summary>Tokens per second of so many sequences together, after a prompt of <paramref name="context"/> tokens each.</summary>
    /// <param name="sequences">How many decode in one step.</param>
    /// <param name="context">Tokens of a sequence before the first step.</param>
    /// <param name="steps">The most steps.</param>
    /// <param name="limit">No step begins after so many seconds.</param>
    public double Decode(int sequences, int context, int steps, double limit = double.PositiveInfinity)
    {
        if (sequences > MostSequences || context > LongestPrompt)
        {
            throw new ArgumentOutOfRangeException(nameof(sequences), $"at most {MostSequences} sequences after {LongestPrompt} tokens, not {sequences} after {context}");
        }

        Clear();
        return Running(() =>
        {
            Step([.. Enumerable.Range(0, context).Select(position => (0, position, position == context - 1))]);
            for (int sequence = 1; sequence < sequences; sequence++)
            {
                library.CopySequence(library.Memory(this.context), 0, sequence, -1, -1);
            }

            int made = 0;
            double seconds = 0;
            for (; made < steps && seconds < limit; made++)
            {
                (int, int, bool)[] tokens = [.. Enumerable.Range(0, sequences).Select(sequence => (sequence, context + made, true))];
                seconds += Seconds(() => Step(tokens));
            }

            return sequences * made / seconds;
        });
    }

    public void Dispose()
    {
        library.FreeContext(context);
        library.FreeModel(model);
        library.FreeThreads(threadPool);
    }

    private static double Seconds(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private void Clear() => library.ClearMemory(library.Memory(context), 0);

    /// <summary>The threads wait for the next call without a rest otherwise, which the next contestant would pay for.</summary>
    private double Running(Func<double> measure)
    {
        library.ResumeThreads(threadPool);
        double value = measure();
        library.PauseThreads(threadPool);
        return value;
    }

    private void Step((int Sequence, int Position, bool Wanted)[] tokens)
    {
        int count = tokens.Length;
        int* ids = stackalloc int[LongestPrompt], positions = stackalloc int[LongestPrompt], counts = stackalloc int[LongestPrompt], owners = stackalloc int[LongestPrompt];
        int** sequences = stackalloc int*[LongestPrompt];
        sbyte* wanted = stackalloc sbyte[LongestPrompt];
        for (int i = 0; i < count; i++)
        {
            ids[i] = random.Next(16, vocabulary);
            positions[i] = tokens[i].Position;
            counts[i] = 1;
            owners[i] = tokens[i].Sequence;
            sequences[i] = owners + i;
            wanted[i] = tokens[i].Wanted ? (sbyte)1 : (sbyte)0;
        }

        int status = library.Decode(context, new LlamaCppLibrary.Batch
        {
            Count = count, Tokens = ids, Positions = positions, SequenceCounts = counts, Sequences = sequences, WantLogits = wanted,
        });

        // Reading the logits waits for them. A number that is none would mean that the file was read otherwise than it was written.
        float first = status == 0 ? library.Logits(context, count - 1)[0] : float.NaN;
        if (!float.IsFinite(first))
        {
            throw new InvalidOperationException($"llama_decode of {count} tokens gave status {status} and the logit {first}");
        }
    }
}
