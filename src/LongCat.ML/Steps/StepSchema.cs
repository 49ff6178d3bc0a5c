using LongCat.ML.Inputs;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>Checks the columns that a step reads and says which ones it adds.</summary>
internal static class StepSchema
{
    /// <summary>The input's columns followed by the step's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or of another type than the step reads; the message names it, its type and what was expected.</exception>
    public static DataViewSchema Output(RowStep step, DataViewSchema input)
    {
        Check(step, input);
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(input);
        foreach (StepColumn column in step.Outputs)
        {
            builder.AddColumn(column.Name, column.Type, column.Annotations());
        }

        return builder.ToSchema();
    }

    public static void Check(RowStep step, DataViewSchema input) => Check(step.Name, step.Inputs, input);

    public static void Check(RowStep step, SchemaShape input) => Check(step.Name, step.Inputs, input);

    /// <summary>The same for whatever reads columns.</summary>
    public static void Check(string reader, IEnumerable<StepInput> inputs, DataViewSchema input)
    {
        foreach (StepInput needed in inputs)
        {
            if (input.GetColumnOrNull(needed.Name) is not { } column)
            {
                Throw.MissingColumn(reader, needed.Name, input.Where(other => !other.IsHidden).Select(other => other.Name));
                return;
            }

            var vector = column.Type as VectorDataViewType;
            DataViewType item = vector?.ItemType ?? column.Type;
            if (!needed.Fits(item, vector is not null))
            {
                Throw.WrongColumnType(reader, needed, Describe(item, vector is not null));
            }
        }
    }

    /// <summary>The same before any data is seen.</summary>
    public static void Check(string reader, IEnumerable<StepInput> inputs, SchemaShape input)
    {
        foreach (StepInput needed in inputs)
        {
            SchemaShape.Column column = input.FirstOrDefault(other => other.Name == needed.Name);
            if (column.Name is null)
            {
                Throw.MissingColumn(reader, needed.Name, input.Select(other => other.Name));
            }

            bool isVector = column.Kind != SchemaShape.Column.VectorKind.Scalar;
            if (column.IsKey ? needed.Kind != InputKind.Label || isVector : !needed.Fits(column.ItemType, isVector))
            {
                string item = column.IsKey ? $"a key of {column.ItemType}" : column.ItemType.ToString()!;
                Throw.WrongColumnType(reader, needed, isVector ? $"a vector of {item}" : item);
            }
        }
    }

    // The same words for a schema and for a shape, which knows less.
    private static string Describe(DataViewType item, bool isVector)
    {
        string name = item is KeyDataViewType ? $"a key of {item.RawType.Name}" : item.ToString()!;
        return isVector ? $"a vector of {name}" : name;
    }
}
