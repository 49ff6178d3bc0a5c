using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>What a step says of one row.</summary>
internal abstract record RowResult;

/// <summary>Reads one output of a row's result.</summary>
internal delegate void ResultReader<TResult, TValue>(TResult result, ref TValue value);

/// <summary>An output column of a step.</summary>
internal abstract class StepColumn(string name, string savedName, DataViewType type)
{
    // ML.NET's names for these annotations; its class that holds them is not public.
    private const string SlotNames = "SlotNames";
    private const string KeyValues = "KeyValues";

    /// <summary>The name that the options give it.</summary>
    public string Name { get; } = name;

    /// <summary>The fixed name that it has inside a saved pipeline.</summary>
    public string SavedName { get; } = savedName;

    public DataViewType Type { get; } = type;

    /// <summary>The names of the keys or slots, or null.</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    public DataViewSchema.Annotations? Annotations()
    {
        if (Labels is null)
        {
            return null;
        }

        var builder = new DataViewSchema.Annotations.Builder();
        ValueGetter<VBuffer<ReadOnlyMemory<char>>> getter = (ref VBuffer<ReadOnlyMemory<char>> value) =>
        {
            VBufferEditor<ReadOnlyMemory<char>> editor = VBufferEditor.Create(ref value, Labels.Count);
            for (int i = 0; i < Labels.Count; i++)
            {
                editor.Values[i] = Labels[i].AsMemory();
            }

            value = editor.Commit();
        };
        builder.Add(Type is VectorDataViewType ? SlotNames : KeyValues, new VectorDataViewType(TextDataViewType.Instance, Labels.Count), getter);
        return builder.ToAnnotations();
    }

    /// <summary>The <c>ValueGetter</c> of the column over whatever row <paramref name="current"/> returns.</summary>
    public abstract Delegate Getter(Func<RowResult> current);
}

/// <summary>An output column of a step, typed.</summary>
internal sealed class StepColumn<TResult, TValue>(string name, string savedName, DataViewType type, ResultReader<TResult, TValue> read)
    : StepColumn(name, savedName, type)
    where TResult : RowResult
{
    public override Delegate Getter(Func<RowResult> current)
    {
        ValueGetter<TValue> getter = (ref TValue value) => read((TResult)current(), ref value);
        return getter;
    }
}
